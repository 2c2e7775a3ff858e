"""The colors of the sheets."""

INK, SOFT, WASH, LINE = "#1d2430", "#5c6675", "#f1f4f8", "#c9d0da"
BLUE, ORANGE, GREEN, RED, SKY = "#2f6db5", "#e0701f", "#2e8b57", "#b3264a", "#6fe3ff"
