"""minitorch-alexnet on the command line: the only place that draws and prints."""
