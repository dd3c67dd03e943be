"""The HTTP listener: the table of methods, and metrics and health for who starts and watches."""
