"""What people and files write, made safe to use: ranges, paths, JSON, and names that are shown in a terminal."""
