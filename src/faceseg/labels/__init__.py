"""From a mask as its dataset encodes it to the target classes: names and colours, decode, merge."""
