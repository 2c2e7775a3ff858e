"""From a run directory to the tables that papers print. Never imports `facetron`."""
