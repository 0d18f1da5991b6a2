"""The contract between hardware and software: number formats, tables, parameters, steps and registers.

Plain Python, standard library only: everything else may import it.
"""
