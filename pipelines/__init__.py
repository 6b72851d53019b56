"""What drives the assets: definitions, jobs, schedules, SQL models, the command line."""
