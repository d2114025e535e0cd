"""The local file system: a slave's root with its work area, sources to publish, seed directories.

Everything inside a root is reached from directory descriptors (:mod:`netclnt.files.confine`), so that no name and no link,
whoever put it there, leads out of it.
"""
