export const api = { apiURL: (route) => `/api${route}` };
