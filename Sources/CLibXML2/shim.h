#include <libxml/xmlversion.h>

// Where libxml2 was built with ICU, its encoding.h includes ICU's headers, which clash with the ICU inside Foundation. Only
// the private tail of a struct that is used by pointer depends on it.
#undef LIBXML_ICU_ENABLED

#include <libxml/HTMLparser.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>
#include <libxml/xpath.h>

static inline void buddy_xml_ignore(void *context, const char *format, ...) {
  (void)context;
  (void)format;
}

// Some of libxml2's complaints go to standard error whatever a context's own handler is; this stops them on the calling
// thread. A variadic handler cannot be written in Swift.
static inline void buddy_xml_silence(void) { xmlSetGenericErrorFunc(0, buddy_xml_ignore); }

// xmlFree is a mutable global function pointer, which Swift does not let concurrent code read.
static inline void buddy_xml_free(void *memory) { xmlFree(memory); }
