"""IVOA TAP 1.1 over the published datasets: what TOPCAT, STILTS, pyvo and astroquery ask, as it is.

TAP 1.1 https://www.ivoa.net/documents/TAP/20190927/, DALI 1.1 https://www.ivoa.net/documents/DALI/20170517/,
UWS 1.1 https://www.ivoa.net/documents/UWS/20161024/, ADQL 2.1 https://www.ivoa.net/documents/ADQL/20231215/.
"""
