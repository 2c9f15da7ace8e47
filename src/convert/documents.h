/* The documents of a Hugging Face folder: those files beside the weights that the converter needs, such as config.json
 * and tokenizer.json (their names are in documents.c). Each is read as a whole. */
#ifndef NB_DOCUMENTS_H
#define NB_DOCUMENTS_H

#include "folder.h"
#include "plan.h"

typedef struct nb_document {
    uint8_t *bytes; /* owned; NULL: not given */
    size_t size;
    char folder[64]; /* of a module's config.json: "1_Pooling"; else empty */
} nb_document;

enum { NB_NAMED_DOCUMENTS = 14, NB_DOCUMENTS = NB_NAMED_DOCUMENTS + NB_MODULES };

typedef struct nb_documents {
    nb_document items[NB_DOCUMENTS]; /* first those with fixed names, then FOLDER/config.json of modules */
} nb_documents;

void nb_documents_free(nb_documents *d); /* and empties the list */

/* "2_Dense/" of "2_Dense/model.safetensors"; empty if there is no folder. */
nb_text nb_folder_of(nb_text name);

/* The kind of the document with this name: an index of `items`. NB_DOCUMENTS: it is no document, so it must be a file
 * of weights. If there are more than NB_MODULES modules, the others get the last index: the caller finds it taken. */
int32_t nb_documents_kind(const nb_documents *d, nb_text name);

/* Takes ownership of the bytes. */
void nb_documents_keep(nb_documents *d, int32_t kind, nb_text name, uint8_t *bytes, size_t size);

/* Plans the folder (huggingface.h). */
int32_t nb_documents_plan(nb_documents *d, nb_plan *plan, nb_error *err);

#endif
