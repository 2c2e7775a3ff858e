"""`gridprep inspect`: a page and sheets that let a person judge a build at a glance."""
