"""`gridprep inspect`: an HTML page and sheets for the visual inspection of a build."""
