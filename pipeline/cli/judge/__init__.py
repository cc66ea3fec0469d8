"""Commands for who judges restorers: scores, and pictures made bad on purpose. Not here: how either
is made, which is in ``pipeline/evaluate``."""
