"""tokauction: the token auction of Duetting, Mirrokni, Paes Leme, Xu and Zuo, on local language models."""

__version__ = "0.1.0"
