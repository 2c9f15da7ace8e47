/* The files of a Hugging Face folder that are taken whole: all but the weights. */
#ifndef NB_DOCUMENTS_H
#define NB_DOCUMENTS_H

#include "folder.h"
#include "plan.h"

typedef struct nb_document {
    uint8_t *bytes; /* owned; NULL: not given */
    size_t size;
    char folder[64]; /* of a module's config.json: "1_Pooling"; else empty */
} nb_document;

enum { NB_NAMED_DOCUMENTS = 13, NB_DOCUMENTS = NB_NAMED_DOCUMENTS + NB_MODULES };

typedef struct nb_documents {
    nb_document items[NB_DOCUMENTS]; /* those with names of their own, and then FOLDER/config.json of modules */
} nb_documents;

void nb_documents_free(nb_documents *d); /* none are given then */

/* "2_Dense/" of "2_Dense/model.safetensors"; empty if there is no folder. */
nb_text nb_folder_of(nb_text name);

/* Which document has this name; NB_DOCUMENTS: none, these are weights. A module beyond NB_MODULES gets the last
 * place, which is taken. */
int32_t nb_documents_kind(const nb_documents *d, nb_text name);

/* The bytes become the documents' to free. */
void nb_documents_keep(nb_documents *d, int32_t kind, nb_text name, uint8_t *bytes, size_t size);

/* Plans the folder (huggingface.h). */
int32_t nb_documents_plan(nb_documents *d, nb_plan *plan, nb_error *err);

#endif
