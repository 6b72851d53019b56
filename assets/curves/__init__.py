"""Third floor: prediction curves from sums, and the scikit-learn rivals."""
