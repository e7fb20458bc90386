"""What `cascadia doctor` looks at. Each check gives its findings and changes nothing."""
