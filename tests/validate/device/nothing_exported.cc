/// A library that is no GPU library of ours.

extern "C" int something_else();
extern "C" int something_else() { return 0; }
