#pragma once

/* Reads the environment's settings and counts from here on. Until then no call is counted or changed. */
void nth_call_begin(void);
