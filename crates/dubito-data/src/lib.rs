//! Faces to data: manifests, identities and splits, the clip store, the forge.
