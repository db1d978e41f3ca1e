/// A GPU library whose libraries are missing.
extern "C" int foretrain_absent();
extern "C" __attribute__((visibility("default"))) int foretrain_gpu_probe(void*) { return foretrain_absent(); }
