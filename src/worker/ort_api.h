/* ort_api: the part of ONNX Runtime's C interface that the worker calls.
 *
 * The interface is a table of function pointers whose order is fixed once released. The list below names the
 * functions in use, their places in that table and their types; test_worker_ort_api holds it against the real
 * header. So no header is needed to build, and no library to link. A function that gives back a struct
 * OrtStatus gives NULL for success, else an error that the caller releases.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* The version of the table that is asked for: ONNX Runtime 1.17 and everything after it has it. */
enum { ORT_VERSION_WANTED = 17 };

struct OrtApi;
struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtValue;
struct OrtAllocator;
struct OrtMemoryInfo;
struct OrtTypeInfo;
struct OrtTensorTypeAndShapeInfo;

struct OrtApiBase {
	const struct OrtApi *(*GetApi)(uint32_t version); /* NULL when the library is older than that */
	const char *(*GetVersionString)(void);
};

/* Values of the interface's enums that are in use. */
enum { ORT_LOG_FATAL = 4 };             /* OrtLoggingLevel */
enum { ORT_CODE_INVALID_ARGUMENT = 2 }; /* OrtErrorCode */
enum { ORT_RUN_SEQUENTIAL = 0 };        /* ExecutionMode */
enum { ORT_OPTIMIZE_ALL = 99 };         /* GraphOptimizationLevel */
enum { ORT_IS_TENSOR = 1 };             /* ONNXType */
enum { ORT_ALLOCATOR_DEVICE = 0 };      /* OrtAllocatorType */
enum { ORT_MEMORY_DEFAULT = 0 };        /* OrtMemType */

/* X(place, result, name, parameters) */
#define ORT_FUNCTIONS(X)                                                                                     \
	X(1, int, GetErrorCode, (const struct OrtStatus *))                                                  \
	X(2, const char *, GetErrorMessage, (const struct OrtStatus *))                                      \
	X(3, struct OrtStatus *, CreateEnv, (int level, const char *id, struct OrtEnv **ret))                \
	X(7, struct OrtStatus *, CreateSession,                                                              \
		(const struct OrtEnv *, const char *path, const struct OrtSessionOptions *,                  \
			struct OrtSession **ret))                                                            \
	X(9, struct OrtStatus *, Run,                                                                        \
		(struct OrtSession *, const struct OrtRunOptions *, const char *const *input_names,          \
			const struct OrtValue *const *inputs, size_t n_inputs,                               \
			const char *const *output_names, size_t n_outputs, struct OrtValue **outputs))       \
	X(10, struct OrtStatus *, CreateSessionOptions, (struct OrtSessionOptions * *ret))                   \
	X(13, struct OrtStatus *, SetSessionExecutionMode, (struct OrtSessionOptions *, int mode))           \
	X(17, struct OrtStatus *, DisableMemPattern, (struct OrtSessionOptions *))                           \
	X(19, struct OrtStatus *, DisableCpuMemArena, (struct OrtSessionOptions *))                          \
	X(22, struct OrtStatus *, SetSessionLogSeverityLevel, (struct OrtSessionOptions *, int level))       \
	X(23, struct OrtStatus *, SetSessionGraphOptimizationLevel, (struct OrtSessionOptions *, int level)) \
	X(24, struct OrtStatus *, SetIntraOpNumThreads, (struct OrtSessionOptions *, int n))                 \
	X(25, struct OrtStatus *, SetInterOpNumThreads, (struct OrtSessionOptions *, int n))                 \
	X(30, struct OrtStatus *, SessionGetInputCount, (const struct OrtSession *, size_t *ret))            \
	X(31, struct OrtStatus *, SessionGetOutputCount, (const struct OrtSession *, size_t *ret))           \
	X(33, struct OrtStatus *, SessionGetInputTypeInfo,                                                   \
		(const struct OrtSession *, size_t index, struct OrtTypeInfo **ret))                         \
	X(34, struct OrtStatus *, SessionGetOutputTypeInfo,                                                  \
		(const struct OrtSession *, size_t index, struct OrtTypeInfo **ret))                         \
	X(36, struct OrtStatus *, SessionGetInputName,                                                       \
		(const struct OrtSession *, size_t index, struct OrtAllocator *, char **ret))                \
	X(37, struct OrtStatus *, SessionGetOutputName,                                                      \
		(const struct OrtSession *, size_t index, struct OrtAllocator *, char **ret))                \
	X(39, struct OrtStatus *, CreateRunOptions, (struct OrtRunOptions * *ret))                           \
	X(46, struct OrtStatus *, RunOptionsSetTerminate, (struct OrtRunOptions *))                          \
	X(47, struct OrtStatus *, RunOptionsUnsetTerminate, (struct OrtRunOptions *))                        \
	X(48, struct OrtStatus *, CreateTensorAsOrtValue,                                                    \
		(struct OrtAllocator *, const int64_t *dims, size_t rank, int element_type,                  \
			struct OrtValue **ret))                                                              \
	X(49, struct OrtStatus *, CreateTensorWithDataAsOrtValue,                                            \
		(const struct OrtMemoryInfo *, void *data, size_t bytes, const int64_t *dims, size_t rank,   \
			int element_type, struct OrtValue **ret))                                            \
	X(51, struct OrtStatus *, GetTensorMutableData, (struct OrtValue *, void **ret))                     \
	X(53, struct OrtStatus *, GetStringTensorDataLength, (const struct OrtValue *, size_t *ret))         \
	X(54, struct OrtStatus *, GetStringTensorContent,                                                    \
		(const struct OrtValue *, void *bytes, size_t n_bytes, size_t *offsets, size_t n_offsets))   \
	X(55, struct OrtStatus *, CastTypeInfoToTensorInfo,                                                  \
		(const struct OrtTypeInfo *, const struct OrtTensorTypeAndShapeInfo **ret))                  \
	X(56, struct OrtStatus *, GetOnnxTypeFromTypeInfo, (const struct OrtTypeInfo *, int *ret))           \
	X(60, struct OrtStatus *, GetTensorElementType,                                                      \
		(const struct OrtTensorTypeAndShapeInfo *, int *ret))                                        \
	X(61, struct OrtStatus *, GetDimensionsCount,                                                        \
		(const struct OrtTensorTypeAndShapeInfo *, size_t *ret))                                     \
	X(62, struct OrtStatus *, GetDimensions,                                                             \
		(const struct OrtTensorTypeAndShapeInfo *, int64_t *dims, size_t rank))                      \
	X(65, struct OrtStatus *, GetTensorTypeAndShape,                                                     \
		(const struct OrtValue *, struct OrtTensorTypeAndShapeInfo **ret))                           \
	X(69, struct OrtStatus *, CreateCpuMemoryInfo,                                                       \
		(int allocator, int memory, struct OrtMemoryInfo **ret))                                     \
	X(76, struct OrtStatus *, AllocatorFree, (struct OrtAllocator *, void *))                            \
	X(78, struct OrtStatus *, GetAllocatorWithDefaultOptions, (struct OrtAllocator * *ret))              \
	X(92, void, ReleaseEnv, (struct OrtEnv *))                                                           \
	X(93, void, ReleaseStatus, (struct OrtStatus *))                                                     \
	X(94, void, ReleaseMemoryInfo, (struct OrtMemoryInfo *))                                             \
	X(95, void, ReleaseSession, (struct OrtSession *))                                                   \
	X(96, void, ReleaseValue, (struct OrtValue *))                                                       \
	X(97, void, ReleaseRunOptions, (struct OrtRunOptions *))                                             \
	X(98, void, ReleaseTypeInfo, (struct OrtTypeInfo *))                                                 \
	X(99, void, ReleaseTensorTypeAndShapeInfo, (struct OrtTensorTypeAndShapeInfo *))                     \
	X(100, void, ReleaseSessionOptions, (struct OrtSessionOptions *))                                    \
	X(130, struct OrtStatus *, AddSessionConfigEntry,                                                    \
		(struct OrtSessionOptions *, const char *key, const char *value))                            \
	X(252, struct OrtStatus *, GetResizedStringTensorElementBuffer,                                      \
		(struct OrtValue *, size_t index, size_t bytes, char **ret))

/* The functions in use, under their own names. The release functions take NULL. */
struct ort {
#define ORT_MEMBER(place, result, name, parameters) result(*name) parameters;
	ORT_FUNCTIONS(ORT_MEMBER)
#undef ORT_MEMBER
};
