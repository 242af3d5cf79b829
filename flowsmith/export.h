/* What the shared library shows: the public classes and functions, and nothing else. */
#ifndef FLOWSMITH_EXPORT_H
#define FLOWSMITH_EXPORT_H

#define FLOWSMITH_API __attribute__((visibility("default")))

#endif
