/* The output error of a weight error E: tr(E H E^T), the sum of |E x|^2 over the calibration text. */
#ifndef NB_OUTPUT_ERROR_H
#define NB_OUTPUT_ERROR_H

#include <stdint.h>

enum { NB_ERROR_ROWS = 8 }; /* rows that share one read of the Hessian */

/* E [rows][columns], H [columns][columns] symmetric, of which only the lower triangle with the diagonal is read. The
 * products with one row of H are summed in F32, and these sums in F64. */
double nb_output_error(const float *errors, uint32_t rows, const float *hessian, uint32_t columns);

#endif
