"""The three encoders of the paper: lips → words, face → speaker, mel → speaker."""
