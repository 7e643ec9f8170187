"""Built-in footage: haystacks and needles drawn from seeds, with the same pixels on every machine.

Only `niah.suite.footage.build`, which writes the files, needs PyAV.
"""
