"""The contract between the programs: records, specs, errors, files and splits. Imports nobody of ours."""
