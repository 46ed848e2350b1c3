"""What pages and services show: questions to the ledger and the lake, answered as what JSON can hold.

Looking changes nothing; what acts is called by name and says who asked.
"""
