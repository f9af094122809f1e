"""How fast is it? Ratios that are measured in one run: `python -m benchmarks`, or `make bench`.

It knows the engine, and loops as others would write them. It is no part of the package, and no test asks for a time.
"""
