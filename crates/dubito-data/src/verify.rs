//! Whether the files are what the manifest says.
