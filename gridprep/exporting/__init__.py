"""A build in the layouts that other projects read, one file a layout."""
