"""Kaggle, through its own client library, kagglesdk: it knows the user's token and what to ask.

The library is asked where a dataset's archive lies; the archive itself comes as from any address, so that a download
that was cut off goes on. kagglehub and kaggle, which sit on the same library, unpack archives or bring a second
downloader. An optional extra: it is imported where it is used.
"""

import os
from pathlib import Path

import requests

from faceseg.sources.download import Address

ENDPOINT = "KAGGLE_API_ENDPOINT"  # another server than Kaggle's own
_TOKEN_FILES = ("access_token", "access_token.txt", "kaggle.json")


class KaggleError(ValueError):
    """No library, no token, or a refusal by Kaggle."""


def check_kaggle(slug: str) -> None:
    """Find out without a network whether the library and a token are there.

    Raises:
        KaggleError: what is missing, and how to get it.
    """
    by_hand = (
        f"or download it by hand from https://www.kaggle.com/datasets/{slug} and set dataset.source to the zip file"
    )
    try:
        import kagglesdk  # noqa: F401 - whether it is there
    except ImportError:
        raise KaggleError(f"whose library is not installed: pip install 'faceseg[kaggle]', {by_hand}") from None
    named = os.environ.get("KAGGLE_API_TOKEN") or (os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"))
    if not named and not any((Path("~/.kaggle").expanduser() / name).exists() for name in _TOKEN_FILES):
        raise KaggleError(
            "which asks for a token, and there is none. Log in on https://www.kaggle.com/settings, choose Generate New "
            f"Token under API, and put it into the environment: export KAGGLE_API_TOKEN=...; {by_hand}"
        )


def dataset_address(slug: str) -> Address:
    """Where the archive of a dataset, ``owner/name``, lies; the address holds for a while.

    Raises:
        KaggleError: as ``check_kaggle``; Kaggle cannot be reached; or it refuses, with its own words.
    """
    check_kaggle(slug)
    from kagglesdk import KaggleClient
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = slug.split("/")
    token, user, key = (os.environ.get(name) for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"))
    try:
        with KaggleClient(username=user, password=key, api_token=token) as client:
            if endpoint := os.environ.get(ENDPOINT):
                # The library knows Kaggle's own servers by name and has no public way to say another one.
                client.http_client()._endpoint = endpoint.rstrip("/")
            # A redirection, which has been followed: the body is not read here.
            with client.datasets.dataset_api_client.download_dataset(request) as response:
                if not response.history:
                    raise KaggleError(f"Kaggle did not say where {slug} lies; download it by hand")
                return Address(response.url, key_of(slug), None)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise KaggleError(f"Kaggle refuses {slug} ({error}); {_advice(status, slug)}") from error
    except requests.RequestException as error:
        raise KaggleError(f"Kaggle cannot be reached ({error}); look at the connection and run again") from error


def key_of(slug: str) -> str:
    """The name under which what has come is kept: addresses are signed anew every time."""
    return f"kaggle:{slug}"


def _advice(status: int, slug: str) -> str:
    if status in (401, 403):
        return (
            "make a new token on https://www.kaggle.com/settings, and accept the dataset's terms on "
            f"https://www.kaggle.com/datasets/{slug}"
        )
    if status == 404:
        return f"look whether https://www.kaggle.com/datasets/{slug} is still there"
    return "try again later"
