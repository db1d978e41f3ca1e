/// Stands for a CUDA library that the machine lacks: linked, and then not found.
extern "C" int foretrain_absent();
extern "C" int foretrain_absent() { return 0; }
