"""The command line: parse, call, print. One module per command; `app` registers them.

It knows options, tables for the terminal and exit codes; it does not know how anything is computed.
"""
