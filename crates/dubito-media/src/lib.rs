//! Files to pixels and back: decoding and encoding of video and images, in child processes with limits.
