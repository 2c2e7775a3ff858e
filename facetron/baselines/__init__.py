"""Systems that Facetron is compared with."""
