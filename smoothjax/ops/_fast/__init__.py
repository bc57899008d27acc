"""Forms of the operations for one platform or size. `_platform.by_platform` chooses among them."""
