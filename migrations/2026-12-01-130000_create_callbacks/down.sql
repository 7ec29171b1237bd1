DROP TABLE callback_key;
DROP TABLE callback;
