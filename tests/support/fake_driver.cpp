// A library that pretends to be the CUDA driver of a machine with one card, as far as src/backend/cuda/driver calls it: memory
// is the host's, work is done at once, and one kernel is known. FAKE_CUDA, FAKE_CARDS and FAKE_CAPABILITY (major * 10 + minor) say
// what it is; FAKE_PTX=refused has it take no PTX. Built with OLD_DRIVER it lacks a function, with NO_MAPS the
// one that makes maps of tensors.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

static int number(const char* name, int usual) {
    const char* value = getenv(name);
    return value ? atoi(value) : usual;
}

enum { OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_PTX = 218, NOT_FOUND = 500 };
static const size_t MEMORY = 64 << 20, MOST_SHARED = 48 << 10;
static size_t used;
static thread_local void* current;
static char context;

struct Function {
    std::string name;
    size_t most_shared;
};
struct Module {
    std::string ptx;
};
struct Pair {  // of kernels/elementwise.cu
    const _Float16* x;
    _Float16* y;
    int64_t len;
};

extern "C" {
int cuInit(unsigned) { return number("FAKE_CARDS", 1) ? OK : NO_DEVICE; }
int cuDriverGetVersion(int* version) { return *version = number("FAKE_CUDA", 12040), OK; }
int cuDeviceGetCount(int* count) { return *count = number("FAKE_CARDS", 1), OK; }
int cuDeviceGet(int* device, int) { return *device = 7, OK; }
int cuDeviceGetName(char* name, int len, int) { return snprintf(name, len, "Pretended Card"), OK; }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
    const int capability = number("FAKE_CAPABILITY", 80);
    *value = attribute == 16 ? 3 : attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : -1;
    return device == 7 && *value >= 0 ? OK : INVALID;
}
int cuDevicePrimaryCtxRetain(void** c, int) { return *c = &context, OK; }
int cuCtxSetCurrent(void* c) { return current = c, OK; }
int cuStreamCreate(void** stream, unsigned flags) { return *stream = &used, flags == 1 ? OK : INVALID; }
int cuStreamSynchronize(void*) { return current ? OK : INVALID; }
int cuStreamDestroy_v2(void*) { return OK; }
int cuMemGetInfo_v2(size_t* free, size_t* total) { return *free = MEMORY - used, *total = MEMORY, OK; }
int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    if (!current) return INVALID;
    if (used + bytes > MEMORY) return OUT_OF_MEMORY;
    used += bytes;
    *address = (uint64_t)aligned_alloc(256, (bytes + 255) / 256 * 256);
    return OK;
}
int cuMemFree_v2(uint64_t address) { return free((void*)address), OK; }
int cuMemHostAlloc(void** memory, size_t bytes, unsigned) { return *memory = malloc(bytes), OK; }
int cuMemFreeHost(void* memory) { return free(memory), OK; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t n, void* s) {
    return memcpy((void*)to, from, n), s && current ? OK : INVALID;
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t n, void* s) {
    return memcpy(to, (void*)from, n), s && current ? OK : INVALID;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t n, void* s) {
    return memmove((void*)to, (void*)from, n), s && current ? OK : INVALID;
}
int cuMemsetD8Async(uint64_t to, unsigned char v, size_t n, void* s) {
    return memset((void*)to, v, n), s && current ? OK : INVALID;
}
int cuModuleLoadDataEx(void** module, const void* image, unsigned n, int* options, void** values) {
    if (!current || n != 2 || options[0] != 5 || options[1] != 6) return INVALID;
    if (getenv("FAKE_PTX")) {
        snprintf((char*)values[0], (size_t)values[1], "ptxas fatal : pretended\nand more");
        return INVALID_PTX;
    }
    return *module = new Module{(const char*)image}, OK;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
    const std::string entry = std::string(".entry ") + name + "(";
    if (((Module*)module)->ptx.find(entry) == std::string::npos) return NOT_FOUND;
    return *function = new Function{name, MOST_SHARED}, OK;
}
#ifndef OLD_DRIVER
int cuFuncSetAttribute(void* function, int attribute, int value) {
    return ((Function*)function)->most_shared = value, attribute == 8 ? OK : INVALID;
}
#endif
int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void* stream, void** parameters, void** extra) {
    const Function& f = *(Function*)function;
    if (!current || !stream || extra || shared > f.most_shared || by * bz != 1) return INVALID;
    if (f.name != "add") return OK;
    Pair a;
    memcpy(&a, parameters[0], sizeof a);
    if ((int64_t)x * bx < a.len || y * z != 1) return INVALID;
    for (int64_t i = 0; i < a.len; i++) a.y[i] = (_Float16)((float)a.y[i] + (float)a.x[i]);
    return OK;
}
#ifndef NO_MAPS
// Takes what the manual of the driver's functions ("Tensor Map Object Management") says, of two-byte numbers swizzled by 128 bytes.
int cuTensorMapEncodeTiled(void* map, int type, unsigned rank, void* address, const uint64_t* extents, const uint64_t* strides,
                           const unsigned* box, const unsigned* steps, int interleave, int swizzle, int promotion, int fill) {
    if (!current || (uintptr_t)map % 64 || type != 6 || rank != 3 || (uintptr_t)address % 16) return INVALID;
    for (unsigned i = 0; i < rank; i++)
        if (!extents[i] || extents[i] > 1ull << 32 || !box[i] || box[i] > 256 || steps[i] != 1) return INVALID;
    for (unsigned i = 0; i + 1 < rank; i++)
        if (strides[i] % 16 || strides[i] >= 1ull << 40) return INVALID;
    if (box[0] * 2 > 128 || interleave || swizzle != 3 || promotion != 2 || fill) return INVALID;
    const uint64_t words[16] = {(uint64_t)address, extents[0], extents[1], extents[2], strides[0], strides[1], box[0], box[1], box[2]};
    memcpy(map, words, sizeof words);
    return OK;
}
#endif
int cuGetErrorName(int code, const char** name) {
    *name = code == INVALID ? "CUDA_ERROR_INVALID_VALUE" : code == INVALID_PTX ? "CUDA_ERROR_INVALID_PTX" : nullptr;
    return *name ? OK : INVALID;
}
int cuGetErrorString(int, const char** text) { return *text = "pretended", OK; }
}
