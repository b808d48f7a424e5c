"""The commands of `leadflow`, a module each; the only package that may see every service."""
