-- needs: 1
-- What all processes have counted so far: each adds to these sums, so they outlive every one of them and never fall.

CREATE TABLE counts (
  name   TEXT NOT NULL,                    -- primitives/metrics.py
  labels TEXT NOT NULL,                    -- their values, a JSON object
  part   TEXT NOT NULL,                    -- of a histogram: the upper bound of a bucket, or sum
  value  DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (name, labels, part)
);
