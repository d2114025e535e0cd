"""netclnt keeps OS-deployment images on many slave servers equal to those of one master."""

__version__ = "0.1.0.dev0"
