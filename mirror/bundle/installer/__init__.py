"""The program that ``bundle installer`` writes: it installs a plugin from a bundle on a host without a registry.

The program needs Python 3.6 or later and ``docker``, nothing else. So these modules import only the standard library
and each other, and use only the syntax of Python 3.6. They read the format of bundles (``docs/BUNDLES.md``) and the
rules of layers a second time. The tests compare both implementations.
"""
