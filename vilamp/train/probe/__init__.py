"""A reader probe: is the answer still in the compressed stream, whoever could read it?"""
