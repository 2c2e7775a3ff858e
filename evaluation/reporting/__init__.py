"""Reports: tables, captions, figures and the page."""
