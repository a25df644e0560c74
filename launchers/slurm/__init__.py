"""Jobs on Slurm: what a job asks for, the script that says it, submission, and what became of it."""
