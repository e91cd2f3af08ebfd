/**
 * Where the key is kept: IndexedDB, which stores a key that no script can read. In and out: records by name. Where a browser gives
 * the page no lasting store, records last as long as the page, and `isLasting` is false.
 */

const DATABASE = 'mailsudo';
const TABLE = 'records';

/** @typedef {{ isLasting: boolean, get: (id: string) => Promise<any>, put: (id: string, record: any) => Promise<void>, remove: (id: string) => Promise<void> }} Store */

/** @returns {Promise<Store>} */
export async function openStore() {
  try {
    const store = lasting(await opened());
    const probe = await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    await store.put('probe', probe);
    await store.remove('probe');
    return store;
  } catch {
    return passing();
  }
}

/** @returns {Promise<IDBDatabase>} */
function opened() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
  return result(request);
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBDatabase} database @returns {Store} */
function lasting(database) {
  /** @param {(table: IDBObjectStore) => IDBRequest} change @returns {Promise<void>} */
  const change = (change) =>
    new Promise((resolve, reject) => {
      // `strict`: the browser reports success when the record is on disk.
      const transaction = database.transaction(TABLE, 'readwrite', { durability: 'strict' });
      change(transaction.objectStore(TABLE));
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  return {
    isLasting: true,
    get: (id) => result(database.transaction(TABLE).objectStore(TABLE).get(id)),
    put: (id, record) => change((table) => table.put(record, id)),
    remove: (id) => change((table) => table.delete(id)),
  };
}

/** @returns {Store} */
function passing() {
  const records = new Map();
  return {
    isLasting: false,
    get: async (id) => records.get(id),
    put: async (id, record) => void records.set(id, record),
    remove: async (id) => void records.delete(id),
  };
}
