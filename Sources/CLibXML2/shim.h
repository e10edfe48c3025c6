#include <libxml/xmlversion.h>

// Where libxml2 was built with ICU, its encoding.h includes ICU's headers, which clash with the ICU inside Foundation. Only
// the private tail of a struct that is used by pointer depends on it.
#undef LIBXML_ICU_ENABLED

#include <libxml/HTMLparser.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>
#include <libxml/xpath.h>

// xmlFree is a mutable global function pointer, which Swift does not let concurrent code read.
static inline void buddy_xml_free(void *memory) { xmlFree(memory); }
