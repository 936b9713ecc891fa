"""A service as small as can be, made of the kit: the kit's tests run it, in this process and as a real one.

A hello is `{"member": …, "n": …}`; it is kept once, and a greeting goes out for it.
"""
