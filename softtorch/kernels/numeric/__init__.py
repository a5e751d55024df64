"""The ground of the other kernels: dtypes, sizes, noise, tracing, and when Python may read the numbers of a tensor."""
